"""What setup.cfg cannot say: where the shipped files lie in a clone, and where in the installed package."""

from setuptools import find_packages, setup

CARD = ["*.json", "*.md", "*.svg", "model.safetensors"]
SHIPPED = {  # a folder of the package: the folder in a clone, and what of it is shipped
    "minbert.shipped.checkpoints.tiny": ("checkpoints/tiny", [*CARD, "vocab.txt"]),
    "minbert.shipped.checkpoints.tiny-gpt2": ("checkpoints/tiny-gpt2", [*CARD, "merges.txt"]),
    "minbert.shipped.checkpoints.tiny-translate": ("checkpoints/tiny-translate", [*CARD, "*.spm"]),
    "minbert.shipped.data.reviews": ("data/reviews", ["*.csv"]),
}

setup(
    packages=[*find_packages(include=["minbert", "minbert.*"]), *SHIPPED],
    package_dir={package: folder for package, (folder, _) in SHIPPED.items()},
    package_data={package: patterns for package, (_, patterns) in SHIPPED.items()}
    | {"minbert.course": ["text/*.md"], "minbert.pages": ["templates/*", "scripts/*.js"]},
)
