#include "handlers.h"

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_rnn_forward, seqmodels::Forward<seqmodels::Elman>,
                              seqmodels::forward_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_rnn_backward, seqmodels::Back<seqmodels::Elman>, seqmodels::backward_binding());
