# SPDX-License-Identifier: Apache-2.0
set(ENGINE_TEXT_SOURCES)
