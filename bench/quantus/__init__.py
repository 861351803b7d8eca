"""Maps judged by code that is not ours: Quantus's metrics of localisation, faithfulness and
randomisation (Hedström et al., JMLR 24(34), 2023)."""
