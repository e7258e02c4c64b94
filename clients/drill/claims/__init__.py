"""The paper's side claims, measured on the ads world and on MovieLens.

`worlds` makes the subjects; every other module is one claim: `measure` takes the numbers, `tell`
says in words what came out, from the numbers alone. `clients.drill.reproduce` runs them all.
"""
