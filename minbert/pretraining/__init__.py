"""How a BERT is made from text: vocabulary -> corpus -> masking -> objective -> fit, with a teacher or without."""
