"""Data and scores of the models in the zoo, each with labels that are known because the inputs are made here."""
