"""A world of two tiers: a model of users feeds the models that rank for them."""
