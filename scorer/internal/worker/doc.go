// Package worker runs an entry script in Python processes and hands requests to them.
//
// A Pool keeps a fixed number of worker processes. A worker answers one request at a time; requests wait for an idle worker in
// the order of their arrival, in a bounded queue. A worker that ends, hangs or is told to end is replaced, with growing pauses if
// that happens again and again; only the request it was running is lost. All methods of Pool may be called from any goroutine.
//
// No worker outlives the scorer: each is killed by the kernel when the thread that started it ends, ends itself when its
// socket closes, and is the leader of a process group that is killed as a whole.
//
// # Protocol
//
// Scorer and worker talk over a Unix socket pair; the worker finds its end at the descriptor number given as its only argument.
// Standard input is empty, standard output and error belong to the script. Frames are those of package frame: the header is a JSON object with
// a "type", the body is raw bytes.
//
//	scorer → worker
//	  load         once, first. script, source_dir: absolute paths
//	  score        a request. id (for log lines), method, query (raw), headers (only if the script wants them); body: the request's body
//
//	worker → scorer
//	  loaded       init() has returned. request_headers: whether run() wants headers
//	  load_failed  cause: one line; body: traceback. The worker ends
//	  reply        to each score. outcome:
//	                 ok          run() returned. exec_ms, status and headers (only of an AMLResponse), body;
//	                             with stream: true the body follows as chunk frames and one end frame
//	                 raised      run() raised an exception (it is on standard error)
//	                 unsendable  the result can't be turned into a response
//	                 bad_input   the body is not UTF-8. message
//	                 exit        run() called sys.exit. The worker ends
//	  chunk        a piece of a streamed body
//	  end          of a streamed body. failed: whether it broke off
package worker
