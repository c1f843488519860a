// A registry of Prometheus's with the label that all our figures have, and buckets that several share.
// Internal to serve/, for sources only: it reads prometheus-cpp.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>

namespace hoist::serve {

using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's, so that dashboards made for it fit.
inline Buckets request_buckets() {
  return {0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}
inline Buckets token_buckets() {
  return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
}

struct MetricSet {
  explicit MetricSet(const std::string& model) : labels{{"model_name", model}} {}
  prometheus::Labels labels;
  prometheus::Registry registry;

  prometheus::Gauge& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  prometheus::Counter& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }
  prometheus::Family<prometheus::Counter>& family(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  // The one of a family with one more label; made where it is not there yet.
  prometheus::Counter& one_of(prometheus::Family<prometheus::Counter>& of, const char* label,
                              std::string value) const {
    auto all = labels;
    all[label] = std::move(value);
    return of.Add(all);
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(registry.Collect()); }
};

}  // namespace hoist::serve
