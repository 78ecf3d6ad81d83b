package state

import (
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairlead/fairlead/platform/events"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
)

// Service is the name of the service in its events and operations.
const Service = "deploy"

// endpointEvent makes the event of a fact. Its sequence counts the events of the
// endpoint with all its versions; the detail "aggregate" names the endpoint.
func endpointEvent(e endpoint.Endpoint, f endpoint.Fact, principal string, now time.Time) (events.Event, error) {
	resource, name, uid := "endpoint", e.Name(), e.UID
	if f.Version != "" {
		resource, name, uid = "version", e.VersionName(f.Version), f.VersionUID
	}
	data := &eventsv1.ResourceEventData{
		Name: name, Uid: uid, Generation: e.Generation, State: string(f.State), Message: f.Message, Principal: principal,
	}
	return event(e.Workspace, resource, f.Verb, uint64(e.EventSequence), now, data, details(f.Details, e.Name()))
}

// modelEvent makes the event of a fact. Its sequence counts the events of the
// model with all its versions.
func modelEvent(m model.Model, f model.Fact, principal string, now time.Time) (events.Event, error) {
	v := f.Version
	data := &eventsv1.ResourceEventData{
		Name: v.ResourceName(), Uid: v.UID, Generation: v.Generation, Message: f.Message, Principal: principal,
	}
	aggregate := "workspaces/" + m.Workspace + "/models/" + m.Name
	return event(m.Workspace, "model", f.Verb, uint64(m.EventSequence), now, data,
		details(map[string]any{"model": m.Name, "version": v.Number, "digest": v.Digest}, aggregate))
}

func details(given map[string]any, aggregate string) map[string]any {
	all := map[string]any{"aggregate": aggregate}
	maps.Copy(all, given)
	return all
}

func event(workspace, resource, verb string, sequence uint64, now time.Time, data *eventsv1.ResourceEventData, details map[string]any) (events.Event, error) {
	packed, err := structpb.NewStruct(details)
	if err != nil {
		return events.Event{}, fmt.Errorf("pack the details of an event: %w", err)
	}
	data.Details = packed
	text, err := protojson.Marshal(data)
	if err != nil {
		return events.Event{}, fmt.Errorf("write the data of an event: %w", err)
	}
	return events.Event{
		ID: events.NewID(), Workspace: workspace, Service: Service, Resource: resource, Verb: verb,
		Subject: data.GetName(), Time: now, Sequence: sequence, Data: text,
	}, nil
}
