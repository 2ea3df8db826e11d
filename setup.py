"""What setup.cfg cannot say: where the shipped files lie in a clone, and where in the installed package."""

from setuptools import find_packages, setup

SHIPPED = {
    "minbert.shipped.checkpoints.tiny": "checkpoints/tiny",
    "minbert.shipped.data": "data",
}

setup(
    packages=[*find_packages(include=["minbert", "minbert.*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={package: ["*"] for package in SHIPPED},
)
