// A small convolutional classifier of square pictures: two blocks of convolution, batch norm, ReLU and max
// pooling, then one linear layer.
//
// Axes: batch, channels (of the picture, then block by block `maps1`, `maps2`), height, width, class.
// Parameters and running statistics have the same names in both graphs, so a state store may hold one set.
#pragma once

#include "models/lm.h"

namespace hoist::models {

struct ImageClassifier {
  int64_t size = 28, channels = 1, classes = 10;
  int64_t width = 16;  // feature maps of the first block; the second has twice as many
  int64_t batch = 64;
};

std::vector<Parameter> parameters(const ImageClassifier& config);
// Running means and variances (Role::kBuffer) that training keeps and evaluation reads, with their first
// values.
std::vector<Parameter> running_statistics(const ImageClassifier& config);

// Inputs: images f32[batch, channels, height, width], labels i32[batch]. Outputs: loss_sum, weight_sum f32[]
// (cross-entropy over the batch). Updates the running statistics.
ir::Graph train_graph(const ImageClassifier& config);
// The same inputs; labels below zero do not count. Outputs: loss_sum, weight_sum and correct f32[].
ir::Graph evaluation_graph(const ImageClassifier& config);

}  // namespace hoist::models
