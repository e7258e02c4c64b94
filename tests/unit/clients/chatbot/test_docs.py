"""What the pages show is what the bot and the services take."""

import re
from pathlib import Path

import yaml

from clients.chatbot.settings import ChatbotSettings
from services.chassis.roster import Roster
from services.chassis.tokens import Role

_DOCS = Path(__file__).parents[4] / "docs"


def block(page: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", (_DOCS / page).read_text(), flags=re.DOTALL)
    return str(found)


def test_the_roster_can_be_followed(tmp_path: Path) -> None:
    file = tmp_path / "roster.toml"
    file.write_text(block("concepts/chat.md", "toml"))
    ada = Roster(file).person("slack:T012AB/U034CD")
    assert (ada.name, ada.holds(Role.APPROVER)) == ("ada", True)


def test_every_setting_is_documented() -> None:
    page = (_DOCS / "reference/chatbot.md").read_text()
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", page, flags=re.MULTILINE))
    assert told == {name.upper() for name in ChatbotSettings.model_fields}


def test_the_manifest_asks_for_what_the_bot_calls() -> None:
    manifest = yaml.safe_load(block("reference/chatbot.md", "yaml"))
    scopes = set(manifest["oauth_config"]["scopes"]["bot"])
    assert scopes == {"channels:history", "chat:write", "commands", "files:write"}
    (command,) = manifest["features"]["slash_commands"]
    assert command["command"] == "/aftershock"
    assert manifest["settings"]["interactivity"]["is_enabled"]
