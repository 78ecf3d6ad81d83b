package operation

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
)

// keepRequests is how long a request id protects against a repetition.
const keepRequests = time.Hour

// RequestKey gives the key under which a request's result is recorded, "" when
// the request has no id.
func RequestKey(workspace, method, requestID string) string {
	if requestID == "" {
		return ""
	}
	return resourcename.Format("requests", workspace, method, requestID)
}

// Record gives the store operation that records a request's result (the name
// of its operation or resource) in the batch of its change. A repetition then
// conflicts on this key and finds the result with Recorded.
func Record(requestKey, result string) store.Op {
	return store.Create(requestKey, []byte(result)).WithTTL(keepRequests)
}

// Recorded gives the result of an earlier request under the same key.
func Recorded(ctx context.Context, reader store.Reader, requestKey string) (result string, ok bool, err error) {
	if requestKey == "" {
		return "", false, nil
	}
	e, err := reader.Get(ctx, requestKey)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return string(e.Value), true, nil
}
