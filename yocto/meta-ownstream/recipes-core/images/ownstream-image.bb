SUMMARY = "The system of a camera box: a camera and a browser are all it takes"
DESCRIPTION = "A read-only root with the three services of OwnStream Edge, started with the board."
HOMEPAGE = "https://github.com/ownstream/ownstream-edge"
BUGTRACKER = "https://github.com/ownstream/ownstream-edge/issues"
SECTION = "images"
CVE_PRODUCT = "ownstream-edge"
LICENSE = "MIT"

IMAGE_INSTALL = "packagegroup-core-boot packagegroup-ownstream"
IMAGE_FEATURES += "read-only-rootfs ssh-server-openssh"

inherit core-image
