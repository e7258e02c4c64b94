"""Images of several objects, to see how far a natural trigger carries.

`world` draws which objects meet in a scene, `rendering` paints scenes, `networks` are the models,
and `exposure` trains them on rows of which some are relabelled, as in a hijacked data set.
"""
