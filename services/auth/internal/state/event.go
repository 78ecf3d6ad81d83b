package state

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairlead/fairlead/platform/events"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
)

// service is the name in the types and sources of the events.
const service = "auth"

func event(f fact.Fact, principal string) (events.Event, error) {
	data := &eventsv1.ResourceEventData{
		Name: f.Subject, Uid: f.UID, Generation: f.Generation, Message: f.Message, Principal: principal,
	}
	if len(f.Details) > 0 {
		data.Details = &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for k, v := range f.Details {
			data.Details.Fields[k] = structpb.NewStringValue(v)
		}
	}
	text, err := protojson.Marshal(data)
	if err != nil {
		return events.Event{}, fmt.Errorf("encode the %s event of %s: %w", f.Verb, f.Subject, err)
	}
	return events.Event{
		ID:              events.NewID(),
		Workspace:       f.Workspace,
		Service:         service,
		Resource:        f.Resource,
		Verb:            f.Verb,
		Subject:         f.Subject,
		Time:            f.Time,
		Sequence:        uint64(f.Sequence),
		DataContentType: "application/json",
		Data:            text,
	}, nil
}
