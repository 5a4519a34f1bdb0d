"""`driftd demo`: the main job on embedded defaults, from the first calm window to a retrain that helped.

settings.py   the config, as a user would write it, and how long each phase takes
source.py     the simulated server (monitor/simulate.py) as a source
pipeline.py   what stands in for a training pipeline: takes the signed call, reports back signed
story.py      who approves, when version 4 is deployed, what there is to say: follows the store
screen.py     the live picture
run.py        all of it together
"""
