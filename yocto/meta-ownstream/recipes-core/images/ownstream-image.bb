SUMMARY = "A system with the three services of OwnStream Edge, to build a box on"
DESCRIPTION = "The three services of OwnStream Edge, started with the board. Join tokens, configuration and \
               identities are kept on its root, which is written to."
HOMEPAGE = "https://github.com/ownstream/ownstream-edge"
BUGTRACKER = "https://github.com/ownstream/ownstream-edge/issues"
SECTION = "images"
CVE_PRODUCT = "ownstream-edge"
LICENSE = "MIT"

IMAGE_INSTALL = "packagegroup-core-boot packagegroup-ownstream"
# No read-only-rootfs as long as there is no data partition: no token could be put into /etc, and /var/lib would be lost at each start.
IMAGE_FEATURES += "ssh-server-openssh"

inherit core-image
