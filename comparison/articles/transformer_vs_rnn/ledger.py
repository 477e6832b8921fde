"""The sixty statements of the article in our words: number, section, text, and where each can be tested."""

from comparison.claims.article import Statement, Where, numbered

ARCHITECTURE = 'Architecture and memory'
OPTIMISATION = 'Optimisation and data'
INFERENCE = 'Inference'
TASKS = 'Tasks'
SYSTEMS = 'Systems'
HYBRIDS = 'Hybrids'
SECTIONS = (ARCHITECTURE, OPTIMISATION, INFERENCE, TASKS, SYSTEMS, HYBRIDS)

_TABLE: dict[str, tuple[tuple[int, str, Where], ...]] = {
  ARCHITECTURE: (
    (1, 'Training an RNN on T tokens takes T dependent steps; the depth of a Transformer does not grow with T', 'C/G'),
    (2, 'At 512 tokens, training an RNN often takes 10 to 20 times as long', 'G'),
    (3, 'Below 1,000 tokens a Transformer trains dramatically faster than an RNN on modern GPUs', 'C/G'),
    (4, 'Over billions of tokens a Transformer might take days or weeks, an equivalent RNN could take months', 'G'),
    (5, 'Beyond 2,000 to 4,000 tokens a Transformer needs special techniques to be trained', 'G'),
    (6, 'At 10,000 tokens and more, training an RNN can be the more practical choice', 'G'),
    (7, 'A state of fixed size is a bottleneck for what an RNN can recall', 'C'),
    (8, 'RNNs struggle with dependencies over hundreds of steps', 'C'),
    (9, 'Attention reaches any distance directly', 'C'),
    (10, 'Attention costs O(n²) time and memory, an RNN O(n)', 'C/G'),
    (11, 'An RNN encodes order by itself', 'C'),
    (12, 'Without positions a Transformer cannot tell reorderings of its input apart', 'C'),
    (13, 'Being free to choose the position encoding is worth something', 'C'),
  ),
  OPTIMISATION: (
    (14, 'Gradients through time vanish or explode in RNNs', 'C'),
    (15, 'RNNs need gradient clipping, Transformers do not', 'C'),
    (16, 'Transformers take larger learning rates', 'C'),
    (17, 'RNNs need more hyperparameter tuning', 'C/G'),
    (18, 'RNNs often converge to worse optima', 'C/G'),
    (19, 'Skip connections and short gradient paths are the reason', 'C'),
    (20, 'Transformers often need more training data for the same result', 'C/G'),
    (21, 'Transformers can overfit small data more easily', 'C'),
    (22, 'The bottleneck of an RNN regularises it, which can help on limited data', 'C'),
    (
      23,
      'With fewer than 10,000 training sequences, well-regularised RNNs sometimes match or exceed Transformers',
      'C/G',
    ),
  ),
  INFERENCE: (
    (24, 'Under 100 tokens, the latency of an RNN can be as good or better', 'C/G'),
    (25, 'From 100 to 1,000 tokens the Transformer typically has the lower latency', 'C/G'),
    (26, 'Beyond 1,000 tokens the quadratic cost of attention bites', 'C/G'),
    (27, 'Decoding with an RNN costs the same at every position', 'C'),
    (28, 'Decoding with a Transformer grows with the position: token 100 is slower than token 1', 'C/G'),
    (29, 'A key/value cache trades recomputation for memory that grows with the length', 'C'),
    (30, 'From about 1,000 generated tokens on, the RNN is attractive', 'C/G'),
    (31, 'For a Transformer, 32 sequences of 256 tokens are nearly as fast as one', 'C/G'),
    (32, 'RNNs gain less from batching', 'C/G'),
    (33, 'With many concurrent users, the throughput of the Transformer often wins', 'G'),
    (34, 'Winners by length: RNN when short, Transformer in the middle, RNN when very long', 'C/G'),
  ),
  TASKS: (
    (35, 'Transformers dominate language modelling because they use long context', 'C/G'),
    (36, 'Transformers dominate translation', 'G'),
    (37, 'RNNs cannot scale to large corpora', 'G'),
    (38, 'A well-tuned LSTM can still be a respectable language model at a fraction of the cost', 'C'),
    (39, 'Long series with little data play to the strengths of RNNs', 'C/G'),
    (40, 'At 10,000 steps and more, RNNs often forecast better in practice', 'G'),
    (41, 'With rich patterns and abundant data, Transformers can forecast better than RNNs', 'G'),
    (42, 'Speech recognition favours Transformers, given data', 'C/G'),
    (43, 'Streaming synthesis suits RNNs', 'C/G'),
    (44, 'A Transformer for language with an RNN for acoustics is a good split', 'G'),
    (45, 'Pure Transformers are impractical for hundreds of video frames', 'G'),
    (46, 'Sparse or hierarchical video models do better', 'G'),
  ),
  SYSTEMS: (
    (47, 'The state of an RNN is negligible', 'C'),
    (48, 'Attention scores take O(n²h) memory: substantial at 2,048 tokens and 32 heads', 'C'),
    (49, 'Phones comfortably run an LSTM and struggle with a Transformer beyond short sequences', 'C'),
    (50, 'Adam stores two extra copies of the parameters, on top of gradients and activations', 'C'),
    (51, 'Large Transformers need accumulation, checkpointing and several devices', 'C/G'),
    (52, 'Truncated back-propagation bounds the memory at any length', 'C'),
    (53, 'For many tasks RNNs train on consumer GPUs where Transformers do not', 'C'),
    (54, 'Hardware favours Transformers', 'G'),
    (55, 'Fused attention speeds up inference', 'G'),
  ),
  HYBRIDS: (
    (56, 'Transformer-XL extends the context and stays parallel', 'C/G'),
    (57, 'Linear attention is O(n)', 'C/G'),
    (58, 'Performer and Linformer keep the quality', 'C'),
    (59, 'Hybrids often combine the strengths of both', 'C/G'),
    (60, 'With enough resources and data, the Transformer is the clear choice under 4,000 tokens', 'C/G'),
  ),
}

STATEMENTS = numbered(
  Statement(number, section, text, place) for section, lines in _TABLE.items() for number, text, place in lines
)
