# SPDX-License-Identifier: Apache-2.0
set(gateway_TEST_LINKS PkgConfig::CURL)
