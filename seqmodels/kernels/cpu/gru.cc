#include "handlers.h"

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_gru_forward, seqmodels::Forward<seqmodels::Gru>, seqmodels::forward_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_gru_backward, seqmodels::Back<seqmodels::Gru>, seqmodels::backward_binding());
