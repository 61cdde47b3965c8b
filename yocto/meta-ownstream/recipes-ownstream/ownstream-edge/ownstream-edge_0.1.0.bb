# nooelint: oelint.var.bbclassextend - a board's services are of no use on the building machine
SUMMARY = "Live video from one small board to any number of browsers"
DESCRIPTION = "The three services of OwnStream Edge, from one build: the broadcaster \
               captures cameras and encodes, relays pass streams on, the supervisor lets peers in, \
               decides who feeds whom, and serves the page on which viewers watch."
HOMEPAGE = "https://github.com/ownstream/ownstream-edge"
BUGTRACKER = "https://github.com/ownstream/ownstream-edge/issues"
SECTION = "multimedia"
CVE_PRODUCT = "ownstream-edge"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=16bd4702df1a2e0b9fc0e52768fcebb0 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
                    "

DEPENDS = "alsa-lib clang-native gstreamer1.0 gstreamer1.0-plugins-base"

require ${BPN}-crates.inc

# The very source in which this layer lies. Its page is built before, by `make web`: no recipe
# of wrynose has a compiler for the browser.
inherit cargo cargo-update-recipe-crates externalsrc pkgconfig systemd

EXTERNALSRC = "${@os.path.abspath(os.path.join(d.getVar('THISDIR'), '../../../..'))}"

CARGO_BUILD_FLAGS:append = " --package supervisor --package edge-relay --package edge-broadcaster"

# bindgen reads the kernel's V4L2 headers, with the board's own.
export LIBCLANG_PATH = "${STAGING_LIBDIR_NATIVE}"
export BINDGEN_EXTRA_CLANG_ARGS = "--sysroot=${STAGING_DIR_TARGET}"

do_page_is_built[doc] = "Sees that the page, which the supervisor carries, was built before"
do_page_is_built() {
    test -e ${S}/web/pkg/web_bg.wasm || bbfatal "run 'make web' in ${S} first: the supervisor carries the page"
}
addtask page_is_built before do_configure

do_install() {
    install -d ${D}${bindir} ${D}${sysconfdir}/ownstream ${D}${systemd_system_unitdir} ${D}${nonarch_libdir}/sysctl.d
    for part in supervisor relay broadcaster; do
        case $part in
            supervisor) program=supervisor ;;
            *) program=edge-$part ;;
        esac
        install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/$program ${D}${bindir}/
        install -m 0644 ${S}/systemd/$part.toml ${D}${sysconfdir}/ownstream/
        install -m 0644 ${S}/systemd/ownstream-$part.service ${D}${systemd_system_unitdir}/
        install -D -m 0755 ${S}/systemd/restart-pause ${D}${nonarch_libdir}/ownstream-$part/restart-pause
    done
    for part in relay broadcaster; do
        install -m 0644 ${S}/systemd/ownstream.sysctl ${D}${nonarch_libdir}/sysctl.d/60-ownstream-$part.conf
    done
    install -D -m 0644 ${S}/systemd/ownstream-broadcaster.modules-load \
        ${D}${nonarch_libdir}/modules-load.d/ownstream-broadcaster.conf
    install -D -m 0644 ${S}/systemd/ownstream-broadcaster.sysusers \
        ${D}${nonarch_libdir}/sysusers.d/ownstream-broadcaster.conf
    install -D -m 0644 ${S}/systemd/70-ownstream-broadcaster.rules \
        ${D}${nonarch_base_libdir}/udev/rules.d/70-ownstream-broadcaster.rules
    install -D -m 0644 ${S}/systemd/hardware-watchdog.conf \
        ${D}${nonarch_libdir}/systemd/system.conf.d/ownstream.conf
}

PACKAGE_BEFORE_PN = "${PN}-supervisor ${PN}-relay ${PN}-broadcaster ${PN}-watchdog"
ALLOW_EMPTY:${PN} = "1"

FILES:${PN}-supervisor += "${bindir}/supervisor ${sysconfdir}/ownstream/supervisor.toml \
                           ${nonarch_libdir}/ownstream-supervisor"
FILES:${PN}-relay += "${bindir}/edge-relay ${sysconfdir}/ownstream/relay.toml \
                      ${nonarch_libdir}/ownstream-relay ${nonarch_libdir}/sysctl.d/60-ownstream-relay.conf"
FILES:${PN}-broadcaster += "${bindir}/edge-broadcaster ${sysconfdir}/ownstream/broadcaster.toml \
                            ${nonarch_libdir}/ownstream-broadcaster \
                            ${nonarch_libdir}/sysctl.d/60-ownstream-broadcaster.conf \
                            ${nonarch_libdir}/modules-load.d ${nonarch_libdir}/sysusers.d \
                            ${nonarch_base_libdir}/udev/rules.d"
FILES:${PN}-watchdog += "${nonarch_libdir}/systemd/system.conf.d"
CONFFILES:${PN}-supervisor = "${sysconfdir}/ownstream/supervisor.toml"
CONFFILES:${PN}-relay = "${sysconfdir}/ownstream/relay.toml"
CONFFILES:${PN}-broadcaster = "${sysconfdir}/ownstream/broadcaster.toml"

RDEPENDS:${PN} = "${PN}-broadcaster ${PN}-relay ${PN}-supervisor"
# What it encodes and converts with is found at run time, so nobody else can know of it.
RDEPENDS:${PN}-broadcaster = "gstreamer1.0-plugins-base-meta gstreamer1.0-plugins-good-meta"

SYSTEMD_PACKAGES = "${PN}-supervisor ${PN}-relay ${PN}-broadcaster"
SYSTEMD_SERVICE:${PN}-supervisor = "ownstream-supervisor.service"
SYSTEMD_SERVICE:${PN}-relay = "ownstream-relay.service"
SYSTEMD_SERVICE:${PN}-broadcaster = "ownstream-broadcaster.service"
