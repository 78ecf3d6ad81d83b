//go:build cgo

package onnx

import (
	"fmt"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// table turns a sequence of maps, as converters from scikit-learn write the probabilities of a classifier, into a tensor: a row for
// each map, a column for each key, in the order of the keys.
func table(spec tensor.Spec, s *ort.Sequence) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: spec.Name, Datatype: spec.Datatype}
	maps, err := s.GetValues()
	if err != nil {
		return t, err
	}
	var columns []string
	for i, value := range maps {
		m, ok := value.(*ort.Map)
		if !ok {
			return t, fmt.Errorf("is a sequence of something else than maps, which can't be sent")
		}
		keys, numbers, err := entries(m)
		if err != nil {
			return t, err
		}
		if i == 0 {
			columns = keys
		}
		if !slices.Equal(keys, columns) {
			return t, fmt.Errorf("has maps with different keys, which can't be sent as a table: %s and %s", strings.Join(columns, ", "), strings.Join(keys, ", "))
		}
		for _, n := range numbers {
			t.Raw = tensor.AppendFloat(t.Raw, t.Datatype, n)
		}
	}
	t.Shape = []int64{int64(len(maps)), int64(len(columns))}
	return t, nil
}

// entries gives a map's keys in their order, and the values in the same.
func entries(m *ort.Map) (keys []string, values []float64, err error) {
	k, v, err := m.GetKeysAndValues()
	if err != nil {
		return nil, nil, err
	}
	var numbers []int64
	switch k := k.(type) {
	case *ort.Tensor[int64]:
		numbers = k.GetData()
	case *ort.StringTensor:
		if keys, err = k.GetContents(); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("has maps whose keys are neither whole numbers nor texts")
	}
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		values = floats(v.GetData())
	case *ort.Tensor[float64]:
		values = floats(v.GetData())
	case *ort.Tensor[int64]:
		values = floats(v.GetData())
	default:
		return nil, nil, fmt.Errorf("has maps whose values are no numbers")
	}
	if numbers != nil {
		order := sorted(numbers)
		keys = make([]string, len(numbers))
		for i, at := range order {
			keys[i] = fmt.Sprint(numbers[at])
		}
		return keys, pick(values, order), nil
	}
	order := sorted(keys)
	return pick(keys, order), pick(values, order), nil
}

func floats[N int64 | float32 | float64](numbers []N) []float64 {
	out := make([]float64, len(numbers))
	for i, n := range numbers {
		out[i] = float64(n)
	}
	return out
}

// sorted gives the indexes of keys in the order of the keys.
func sorted[K int64 | string](keys []K) []int {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case keys[a] < keys[b]:
			return -1
		case keys[a] > keys[b]:
			return 1
		}
		return 0
	})
	return order
}

func pick[T any](from []T, order []int) []T {
	out := make([]T, len(order))
	for i, at := range order {
		out[i] = from[at]
	}
	return out
}
