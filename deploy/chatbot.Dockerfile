# The chat bot's image: docker build -f deploy/chatbot.Dockerfile .
ARG PYTHON_VERSION=3.11
FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md ./
COPY clients/python ./clients/python
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir -c constraints.txt ".[chatbot]"

FROM python:${PYTHON_VERSION}-slim
# matplotlib keeps what it knows of fonts in a folder that it may write to.
ENV MPLCONFIGDIR=/tmp/matplotlib PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 aftershock
COPY --from=build /venv /venv
WORKDIR /app
COPY services/__init__.py ./services/__init__.py
COPY services/chassis ./services/chassis
COPY clients/__init__.py ./clients/__init__.py
COPY clients/chatbot ./clients/chatbot
USER 10001
ENTRYPOINT ["python", "-m", "clients.chatbot"]
