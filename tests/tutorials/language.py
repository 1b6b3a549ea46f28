"""Language: Luong's attention, a memory network, and word2vec; see recommenders.py."""

from typing import Any

STEPS, QUESTION, VOCABULARY = 7, 4, 15


def luong(keras: Any, parts: Any) -> Any:
    """An encoder and a decoder, and the attention of the decoder's steps to the encoder's."""
    layers = keras.layers
    input_train = keras.Input(shape=(STEPS, 3))
    encoder_stack_h, state = parts.lstm(input_train, 8, "encoder")
    decoder_input = layers.RepeatVector(QUESTION)(encoder_stack_h[:, -1])
    decoder_stack_h, _ = parts.lstm(decoder_input, 8, "decoder", state)
    attention = layers.dot([decoder_stack_h, encoder_stack_h], axes=[2, 2])
    attention = layers.Activation("softmax")(attention)
    context = layers.dot([attention, encoder_stack_h], axes=[2, 1])
    combined = layers.concatenate([context, decoder_stack_h])
    return keras.Model(input_train, parts.time_distributed(layers.Dense(2, name="out"), combined)), "mse"


def memory_network(keras: Any, parts: Any) -> Any:
    """babi_memnn: a story and a question, matched by a dot product."""
    layers = keras.layers
    input_sequence = keras.Input((STEPS,))
    question = keras.Input((QUESTION,))
    input_encoder_m = keras.Sequential()
    input_encoder_m.add(layers.Embedding(input_dim=VOCABULARY, output_dim=6))
    input_encoder_m.add(layers.Dropout(0.3))
    input_encoder_c = keras.Sequential()
    input_encoder_c.add(layers.Embedding(input_dim=VOCABULARY, output_dim=QUESTION))
    input_encoder_c.add(layers.Dropout(0.3))
    question_encoder = keras.Sequential()
    question_encoder.add(layers.Embedding(input_dim=VOCABULARY, output_dim=6, input_length=QUESTION))
    question_encoder.add(layers.Dropout(0.3))
    input_encoded_m = input_encoder_m(input_sequence)
    input_encoded_c = input_encoder_c(input_sequence)
    question_encoded = question_encoder(question)
    match = layers.dot([input_encoded_m, question_encoded], axes=(2, 2))
    match = layers.Activation("softmax")(match)
    response = layers.add([match, input_encoded_c])
    response = layers.Permute((2, 1))(response)
    answer = layers.concatenate([response, question_encoded])
    answer = parts.lstm(answer, 5, "answer")[0][:, -1]
    answer = layers.Dropout(0.3)(answer)
    answer = layers.Dense(VOCABULARY)(answer)
    answer = layers.Activation("softmax")(answer)
    return keras.Model([input_sequence, question], answer), "sparse_categorical_crossentropy"


def word2vec(keras: Any, parts: Any) -> Any:
    """Skip-gram with negative samples, as a subclass of Model."""
    layers = keras.layers

    class Word2Vec(keras.Model):
        def __init__(self, vocab_size: int, embedding_dim: int) -> None:
            super().__init__()
            self.target_embedding = layers.Embedding(
                vocab_size, embedding_dim, input_length=1, name="w2v_embedding"
            )
            self.context_embedding = layers.Embedding(vocab_size, embedding_dim, input_length=QUESTION + 1)
            self.dots = layers.Dot(axes=(3, 2))
            self.flatten = layers.Flatten()

        def call(self, pair: Any) -> Any:
            target, context = pair
            we = self.target_embedding(target)
            ce = self.context_embedding(context)
            dots = self.dots([ce, we])
            return self.flatten(dots)

    def loss(target: Any, logits: Any) -> Any:
        return keras.backend.mean(keras.backend.categorical_crossentropy(target, logits, from_logits=True))

    return Word2Vec(VOCABULARY, 8), loss
