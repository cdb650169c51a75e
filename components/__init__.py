"""The steps of the Berth pipeline, one folder each; `common` is the contract between them."""
