package batching

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// describe gives the rows of a checked request, and the kind of those that may be in one batch with it. It reports false when it
// must run alone.
func (b *Batcher) describe(r *tensor.Request) (rows int, kind string, ok bool) {
	if len(r.Parameters) > 0 {
		return 0, "", false
	}
	for i, t := range r.Inputs {
		if len(t.Shape) == 0 || t.Shape[0] == 0 || i > 0 && t.Shape[0] != int64(rows) || len(t.Parameters) > 0 {
			return 0, "", false
		}
		rows = int(t.Shape[0])
	}
	if b.alike {
		return rows, "", true
	}
	var key []byte
	for _, spec := range b.metadata.Inputs {
		if t := input(r, spec.Name); t != nil {
			for _, dim := range t.Shape[1:] {
				key = append(strconv.AppendInt(key, dim, 10), ',')
			}
			key = append(key, ';')
		} else {
			key = append(key, '-')
		}
	}
	return rows, string(key), true
}

func input(r *tensor.Request, name string) *tensor.Tensor {
	for i := range r.Inputs {
		if r.Inputs[i].Name == name {
			return &r.Inputs[i]
		}
	}
	return nil
}

// run computes a batch and gives each caller its own.
func (b *Batcher) run(ctx context.Context, members []*call) {
	began := time.Now()
	b.answer(ctx, members)
	took := time.Since(began)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy--
	b.pace = b.pace.add(took)
	b.nudge()
}

func (b *Batcher) answer(ctx context.Context, members []*call) {
	if len(members) > 1 && b.together(ctx, members) {
		return
	}
	for _, c := range members {
		ctx, release := whileWanted(ctx, []*call{c})
		response, err := b.model.Infer(ctx, c.request)
		release()
		c.done <- result{response, err}
	}
}

// together answers several requests with one run. It reports false when that failed; then nobody has got an answer.
func (b *Batcher) together(ctx context.Context, members []*call) bool {
	ctx, release := whileWanted(ctx, members)
	defer release()
	response, err := b.model.Infer(ctx, merge(members))
	if err != nil {
		// When nobody waits any more, running them one by one ends at once too.
		b.log.Debug("a batch failed; its requests are run one by one", "requests", len(members), "error", err)
		return false
	}
	responses, err := split(response, members, b.metadata)
	if err != nil {
		if !b.apart.Swap(true) {
			b.log.Warn("requests are not put together any more: the model does not keep their rows apart", "error", err)
		}
		return false
	}
	for i, c := range members {
		c.done <- result{response: responses[i]}
	}
	return true
}

// whileWanted gives a context that ends when all callers have gone.
func whileWanted(ctx context.Context, members []*call) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wanted atomic.Int64
	wanted.Store(int64(len(members)))
	stops := make([]func() bool, len(members))
	for i, c := range members {
		stops[i] = context.AfterFunc(c.ctx, func() {
			if wanted.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// merge puts requests of one kind one below the other. All outputs are asked for.
func merge(members []*call) *tensor.Request {
	first := members[0].request
	merged := &tensor.Request{Inputs: make([]tensor.Tensor, len(first.Inputs))}
	for i, t := range first.Inputs {
		m := tensor.Tensor{Name: t.Name, Datatype: t.Datatype, Shape: slices.Clone(t.Shape)}
		m.Shape[0] = 0
		bytes, strings := 0, 0
		for _, c := range members {
			part := input(c.request, t.Name)
			m.Shape[0] += part.Shape[0]
			bytes += len(part.Raw)
			strings += len(part.Strings)
		}
		m.Raw, m.Strings = make([]byte, 0, bytes), make([][]byte, 0, strings)
		for _, c := range members {
			part := input(c.request, t.Name)
			m.Raw = append(m.Raw, part.Raw...)
			m.Strings = append(m.Strings, part.Strings...)
		}
		merged.Inputs[i] = m
	}
	return merged
}

var errRows = errors.New("an output has not one row for each row of the inputs")

// split gives each request the rows of its own, and the outputs that it asks for. The answers share the response's memory.
func split(response *tensor.Response, members []*call, metadata tensor.Metadata) ([]*tensor.Response, error) {
	total := 0
	for _, c := range members {
		total += c.rows
	}
	for _, t := range response.Outputs {
		if len(t.Shape) == 0 || t.Shape[0] != int64(total) {
			return nil, fmt.Errorf("%w: %q has the shape %v after %d rows", errRows, t.Name, t.Shape, total)
		}
	}
	responses := make([]*tensor.Response, len(members))
	from := 0
	for i, c := range members {
		wanted := metadata.Wanted(c.request)
		responses[i] = &tensor.Response{Outputs: make([]tensor.Tensor, 0, len(wanted)), Parameters: response.Parameters}
		for _, spec := range wanted {
			at := slices.IndexFunc(response.Outputs, func(t tensor.Tensor) bool { return t.Name == spec.Name })
			if at < 0 {
				return nil, fmt.Errorf("%w: %q is missing", errRows, spec.Name)
			}
			responses[i].Outputs = append(responses[i].Outputs, rowsOf(response.Outputs[at], from, c.rows, total))
		}
		from += c.rows
	}
	return responses, nil
}

// rowsOf cuts rows out of a tensor that has total rows.
func rowsOf(t tensor.Tensor, from, rows, total int) tensor.Tensor {
	t.Shape = slices.Clone(t.Shape)
	t.Shape[0] = int64(rows)
	t.Raw = cut(t.Raw, from, rows, total)
	t.Strings = cut(t.Strings, from, rows, total)
	return t
}

func cut[E any](all []E, from, rows, total int) []E {
	width := len(all) / total
	return all[from*width : (from+rows)*width : (from+rows)*width]
}
