//! What is in the streams, read by a client of the test's own.

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use futures_util::StreamExt;
use tokio::runtime::{self, Runtime};

/// A client of NATS for a test.
pub(crate) struct Outside {
    runtime: Runtime,
    jetstream: jetstream::Context,
}

/// What the server says of the workers' consumer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) not_delivered: u64,
    pub(crate) not_acknowledged: usize,
}

impl Outside {
    pub(crate) fn new(nats: &str) -> Outside {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let jetstream = runtime.block_on(async { jetstream::new(async_nats::connect(nats).await.unwrap()) });
        Outside { runtime, jetstream }
    }

    /// The last number of a stream.
    pub(crate) fn last(&self, stream: &str) -> u64 {
        self.runtime.block_on(async {
            self.jetstream.get_stream(stream).await.unwrap().cached_info().state.last_sequence
        })
    }

    /// All messages after this number, with their numbers.
    pub(crate) fn after(&self, stream: &str, number: u64) -> Vec<(u64, String)> {
        self.runtime.block_on(async {
            let stream = self.jetstream.get_stream(stream).await.unwrap();
            let last = stream.cached_info().state.last_sequence;
            let consumer = stream
                .create_consumer(pull::Config {
                    deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: number + 1 },
                    ack_policy: AckPolicy::None,
                    ..pull::Config::default()
                })
                .await
                .unwrap();
            let mut messages = Vec::new();
            while messages.last().map_or(number, |(number, _)| *number) < last {
                let mut batch = consumer.fetch().max_messages(1000).messages().await.unwrap();
                while let Some(message) = batch.next().await {
                    let message = message.unwrap();
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    messages.push((message.info().unwrap().stream_sequence, text));
                }
            }
            messages
        })
    }

    /// Publishes so many events of other replicas.
    pub(crate) fn publish_events(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.runtime.block_on(async {
            for number in numbers {
                let subject = format!("events.jobs.{number}");
                let text = format!("event {number}").into();
                self.jetstream.publish(subject, text).await.unwrap().await.unwrap();
            }
        });
    }

    pub(crate) fn open(&self) -> Open {
        self.runtime.block_on(async {
            let consumer: PullConsumer =
                self.jetstream.get_consumer_from_stream("workers", "JOBS").await.unwrap();
            let info = consumer.cached_info();
            Open { not_delivered: info.num_pending, not_acknowledged: info.num_ack_pending }
        })
    }
}
