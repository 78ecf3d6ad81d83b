package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/store"
)

// What a handler does not handle must not read as the service's own failure.
func TestErrorsHaveAKindForCallers(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want apierr.Kind
	}{
		{&store.ConflictError{Key: "a", Want: 1, Have: 2}, apierr.Conflict},
		{store.ErrFull, apierr.ResourceExhausted},
		{store.ErrUnavailable, apierr.Unavailable},
	} {
		if got := apierr.KindOf(fmt.Errorf("write: %w", tt.err)); got != tt.want {
			t.Errorf("%v is of kind %d, want %d", tt.err, got, tt.want)
		}
	}
	if err := fmt.Errorf("write: %w", &store.ConflictError{Key: "a"}); errors.Is(err, store.ErrNotFound) {
		t.Error("a conflict reads as not found")
	}
}
