package store

import (
	"errors"
	"fmt"

	"github.com/fairlead/fairlead/platform/apierr"
)

// ErrNotFound says that a key is absent.
var ErrNotFound = errors.New("key not found")

// ErrUnavailable says that the store can't be reached, or did not answer. A write
// may have happened all the same: repeat it with the same batch ID. Callers of an
// API are told so as they are.
var ErrUnavailable error = apierr.New(apierr.Unavailable, "STORE_UNAVAILABLE", "the state store is unavailable, try again")

// ErrFull says that the store has no room; nothing was applied.
var ErrFull error = apierr.New(apierr.ResourceExhausted, "STORE_FULL", "the state store is full: its administrator must give it more room")

// errChanged is what callers of an API are told of a conflict that nobody handled.
var errChanged error = apierr.New(apierr.Conflict, "CHANGED_MEANWHILE", "somebody else changed this at the same time: read it again and repeat the change")

// ConflictError says which key was not as an op or guard expected. Nothing was
// applied: read the key again and decide anew.
type ConflictError struct {
	Key  string
	Want Revision // 0: expected to be absent
	Have Revision // 0: absent
}

func (e *ConflictError) Error() string {
	switch {
	case e.Want == 0:
		return fmt.Sprintf("key %s exists already, at revision %d", e.Key, e.Have)
	case e.Have == 0:
		return fmt.Sprintf("key %s is gone, expected revision %d: read it again", e.Key, e.Want)
	default:
		return fmt.Sprintf("key %s has revision %d, expected %d: read it again", e.Key, e.Have, e.Want)
	}
}

// Unwrap gives what callers of an API see.
func (e *ConflictError) Unwrap() error { return errChanged }

// InvalidError says what is wrong with a key, a prefix or a batch.
type InvalidError struct {
	Field  string
	Reason string
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// NoKey says why key is absent in every store, or gives nil when it can be one. The
// error matches ErrNotFound, and is an *InvalidError.
func NoKey(key string) error {
	if err := ValidateKey(key); err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}
