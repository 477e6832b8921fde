#include "handlers.h"

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_lstm_forward, seqmodels::Forward<seqmodels::Lstm>,
                              seqmodels::forward_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_lstm_backward, seqmodels::Back<seqmodels::Lstm>, seqmodels::backward_binding());
