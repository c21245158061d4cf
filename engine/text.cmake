# SPDX-License-Identifier: Apache-2.0
set(ENGINE_TEXT_SOURCES
  tokenizer.c tokenizer_bpe.c tokenizer_decode.c tokenizer_merge.c tokenizer_pattern.c
  tokenizer_pieces.c tokenizer_pre.c tokenizer_roles.c tokenizer_special.c tokenizer_spm.c
  tokenizer_vocab.c tokenizer_wordpiece.c unicode.c)
