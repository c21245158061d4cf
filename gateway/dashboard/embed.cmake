# SPDX-License-Identifier: Apache-2.0
# cmake -DIN=index.html -DOUT=dashboard_page.h -P embed.cmake: the page as an array of bytes.
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "static const unsigned char sl_dashboard_page[] = {\n${bytes}};\n")
