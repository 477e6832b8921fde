"""List the data sets by name, each with one line about it. The user's own files need no name."""

TEXTS = {
  'embedded': 'Help topics of Python 3.11.7: 465,126 characters, 103 distinct; in the project, no download.',
  'tinyshakespeare': "40,000 lines of Shakespeare's plays: 1,115,394 characters, 65 distinct.",
  'enwik8': 'Wikipedia with its markup: 90, 5 and 5 million bytes.',
  'ptb': 'Penn Treebank: 929,589, 73,760 and 82,430 words, 10,000 distinct.',
}
SERIES = {
  'seasonal': 'Four made-up hourly series with daily and weekly seasons: 6,000 rows; no download.',
  'ETTh1': 'An electricity transformer, hourly: 14,400 rows of seven variables.',
  'ETTm1': 'An electricity transformer, every 15 minutes: 57,600 rows of seven variables.',
  'exchange_rate': 'Daily exchange rates of eight countries: 7,588 rows.',
  'm4_hourly': 'The hourly series of the M4 competition: 414 of 748 to 1,008 hours.',
}
PAIRS = {
  'phrases': 'Made-up German sentences and their translations: 4,000, 300 and 300 pairs; no download.',
  'multi30k': 'Captions of photographs, English and German: 29,000, 1,014 and 1,000 pairs of sentences.',
}
VIDEOS = {
  'moving_segments': 'Made-up digits of seven segments that move and bounce: 1,000, 200 and 200 digits; no download.',
  'moving_mnist': 'Digits of MNIST that move and bounce: 60,000, 5,000 and 5,000 digits.',
}
CASES = {
  'cylinder_bell_funnel': 'Made-up series of three classes: 300, 150 and 900 of 128 steps; no download.',
  'sequential_mnist': 'Digits, pixel by pixel: 55,000, 5,000 and 10,000 of 784 steps.',
  'permuted_mnist': 'The same with all pixels in one random order.',
}
LABELLED = {
  'topics': 'Passages of the embedded text, of 15 help topics: 2,010, 244 and 242 of 128 characters; no download.',
}
SPEECH = {
  'dial_tones': 'Made-up telephone dial tones of ten digits on four lines: 800 recordings at 8 kHz; no download.',
  'spoken_digits': 'Free Spoken Digit Dataset 1.0.10: 3,000 recordings of ten digits by six speakers at 8 kHz.',
  'espeak': 'Sentences of the GRID grammar from eSpeak NG, any number of them (needs the extra `speech`).',
}
