# SPDX-License-Identifier: Apache-2.0
set(ENGINE_TEXT_SOURCES
  chat_call.c chat_expression.c chat_filters.c chat_filters_list.c chat_forms.c chat_lexer.c
  chat_operators.c chat_parse_expression.c chat_parser.c chat_run.c
  chat_show.c chat_strings.c chat_template.c chat_tests.c chat_value.c
  constrain.c constrain_containers.c constrain_grammar.c constrain_match.c constrain_number.c
  constrain_pattern.c
  constrain_schema.c constrain_vocab.c
  tokenizer.c tokenizer_bpe.c tokenizer_decode.c tokenizer_merge.c tokenizer_pattern.c
  tokenizer_pieces.c tokenizer_pre.c tokenizer_roles.c tokenizer_special.c tokenizer_spm.c
  tokenizer_vocab.c tokenizer_wordpiece.c unicode.c)
