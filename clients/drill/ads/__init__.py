"""A generated ads world: people, ads, hours, and a model that chooses what is shown.

`population` draws who there is, `features` what a pipeline would log of them, `world` plays hours:
the model ranks what is considered and displays the best, people click or do not. `learning` trains
a model on what was displayed, hour after hour. Everything follows from the seed.
"""
