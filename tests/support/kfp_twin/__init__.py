"""A Kubeflow backend in this process: it runs the real commands of a compiled pipeline by the rules of KFP and Argo.

Every rule names the file that it was read in. Paths are those of github.com/kubeflow/pipelines 2.17.0 below
`backend/src`, unless they begin with `workflow/`, of github.com/argoproj/argo-workflows. Two things are simpler: an
artifact's address is a path of this machine, so that nothing is moved between a step and a store, and pauses pass at
once, on a clock of the backend's own.
"""
