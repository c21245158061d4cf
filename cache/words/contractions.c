/* SPDX-License-Identifier: Apache-2.0
 *
 * A closed list: with and without the apostrophe that fingers skip, where that is no other word
 * ("were", "ill", "shell" and "its" are). "what's" may be "what has" as well; the two then fall
 * into one form, which is right, since both spell the same thing.
 *
 * Immutable; any thread.
 */
#include "words/contractions.h"

/* clang-format off */
static const char *const contractions[][3] = {
    {"what's", "what", "is"}, {"whats", "what", "is"}, {"where's", "where", "is"},
    {"wheres", "where", "is"}, {"who's", "who", "is"}, {"how's", "how", "is"},
    {"hows", "how", "is"}, {"when's", "when", "is"}, {"whens", "when", "is"},
    {"why's", "why", "is"}, {"that's", "that", "is"}, {"thats", "that", "is"},
    {"there's", "there", "is"}, {"theres", "there", "is"}, {"here's", "here", "is"},
    {"heres", "here", "is"}, {"it's", "it", "is"}, {"i'm", "i", "am"}, {"im", "i", "am"},
    {"you're", "you", "are"}, {"youre", "you", "are"}, {"we're", "we", "are"},
    {"they're", "they", "are"}, {"theyre", "they", "are"}, {"what're", "what", "are"},
    {"i've", "i", "have"}, {"ive", "i", "have"}, {"you've", "you", "have"},
    {"youve", "you", "have"}, {"we've", "we", "have"}, {"weve", "we", "have"},
    {"they've", "they", "have"}, {"theyve", "they", "have"}, {"i'll", "i", "will"},
    {"you'll", "you", "will"}, {"youll", "you", "will"}, {"we'll", "we", "will"},
    {"they'll", "they", "will"}, {"it'll", "it", "will"}, {"can't", "can", "not"},
    {"cant", "can", "not"}, {"cannot", "can", "not"}, {"don't", "do", "not"}, {"dont", "do", "not"},
    {"doesn't", "does", "not"}, {"doesnt", "does", "not"}, {"didn't", "did", "not"},
    {"didnt", "did", "not"}, {"isn't", "is", "not"}, {"isnt", "is", "not"},
    {"aren't", "are", "not"}, {"arent", "are", "not"}, {"wasn't", "was", "not"},
    {"wasnt", "was", "not"}, {"weren't", "were", "not"}, {"werent", "were", "not"},
    {"won't", "will", "not"}, {"wouldn't", "would", "not"}, {"wouldnt", "would", "not"},
    {"shouldn't", "should", "not"}, {"shouldnt", "should", "not"}, {"couldn't", "could", "not"},
    {"couldnt", "could", "not"}, {"haven't", "have", "not"}, {"havent", "have", "not"},
    {"hasn't", "has", "not"}, {"hasnt", "has", "not"}, {"hadn't", "had", "not"},
    {"hadnt", "had", "not"},
};
/* clang-format on */

bool word_expand(struct sl_slice word, struct sl_slice out[2])
{
    for (size_t i = 0; i < sizeof contractions / sizeof contractions[0]; i++) {
        if (!sl_slice_equal_text(word, contractions[i][0]))
            continue;
        out[0] = sl_slice_of(contractions[i][1]);
        out[1] = sl_slice_of(contractions[i][2]);
        return true;
    }
    return false;
}
