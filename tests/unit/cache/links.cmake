# SPDX-License-Identifier: Apache-2.0
set(cache_TEST_LINKS PkgConfig::SQLITE PkgConfig::JANSSON)
