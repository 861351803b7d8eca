"""Evaluate maps by other people's code: Quantus's metrics of localisation, faithfulness and
randomisation (Hedström et al., JMLR 24(34), 2023)."""
