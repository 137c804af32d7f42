//! Single entry points: encoder layer, embedding + norm, masked loss, optimizer step; and the small operations they and the heads are made of.

mod activation;
mod attention;
mod dropout;
mod embed_norm;
mod encoder_layer;
mod feed_forward;
mod layer_norm;
mod linear;
mod losses;
mod masked_lm_loss;
mod matrix;
pub mod optimizer;

pub use activation::{Activation, activate, softmax};
pub use attention::{AttentionSettings, AttentionWeights, QueryKeyValue, attention, attention_probabilities};
pub use dropout::dropout;
pub use embed_norm::{EmbeddingSettings, EmbeddingWeights, embed_norm, embed_norm_plain};
pub use encoder_layer::{LayerCache, LayerCall, LayerSettings, LayerWeights, encoder_layer, encoder_layer_plain};
pub use feed_forward::{FeedForwardSettings, FeedForwardWeights, feed_forward};
pub use layer_norm::{Norm, layer_norm};
pub use linear::{Linear, linear};
pub use losses::{binary_cross_entropy, cross_entropy, soft_cross_entropy};
pub use masked_lm_loss::{masked_lm_loss, masked_lm_loss_plain};
pub use matrix::{FewBits, Matrix, rounded};
