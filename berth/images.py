"""The container images of the steps. Locally each name stands for the environment made from the image's lock file."""

CORE = "berth-core"
VALIDATE = "berth-validate"
TRAIN = "berth-train"
ALL = (CORE, VALIDATE, TRAIN)
