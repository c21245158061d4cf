/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks a canonical chat (an OpenAI chat-completions body) and fills the parse section from it.
 * Every wire API ends here, so all of them refuse the same things with the same words.
 */
#ifndef SLUICE_GATEWAY_CHAT_CHECK_H
#define SLUICE_GATEWAY_CHAT_CHECK_H

#include "sluice/request.h"

/* Reads req->parse.chat, which must be an object. Fields that are not known are left in it for the
 * cloud. Errors are set in req->error with the path of the field: SL_ERR_INVALID,
 * SL_ERR_UNSUPPORTED, SL_ERR_MEMORY. */
enum sl_err sl_chat_check(struct sl_request *req) SL_MUST_CHECK;

#endif
