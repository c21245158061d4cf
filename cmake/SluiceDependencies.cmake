# SPDX-License-Identifier: Apache-2.0
# The libraries of Debian that Sluice stands on. Each becomes an imported target of its own, so a
# folder links just what it wraps.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.35)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(HIREDIS IMPORTED_TARGET hiredis)

# mbedTLS 2.28 ships no pkg-config file.
find_path(MBEDTLS_INCLUDE mbedtls/gcm.h REQUIRED)
find_library(MBEDCRYPTO_LIBRARY mbedcrypto REQUIRED)
find_library(MBEDX509_LIBRARY mbedx509 REQUIRED)
add_library(sluice_mbedtls INTERFACE)
target_include_directories(sluice_mbedtls SYSTEM INTERFACE ${MBEDTLS_INCLUDE})
target_link_libraries(sluice_mbedtls INTERFACE ${MBEDX509_LIBRARY} ${MBEDCRYPTO_LIBRARY})
