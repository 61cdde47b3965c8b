# vp8enc: what every browser plays. Left out of the layer's own choice because libvpx stands in another one.
# Not for one machine or distribution alone: without it there is no picture.
# nooelint: oelint.vars.noncoreoverride
PACKAGECONFIG:append = " vpx"
