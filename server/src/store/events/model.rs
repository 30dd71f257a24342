//! What an event is, before and after it is stored.

use serde_json::{Map, Value};

/// Iteration of a scalar that is a single value and no point of a curve.
pub(crate) const SINGLE_VALUE_ITER: i64 = -(1 << 31);

/// Kind of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Scalar,
    Vector,
    Image,
    Plot,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Scalar, Self::Vector, Self::Image, Self::Plot];

    /// The number in the `kind` column.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Scalar => 1,
            Self::Vector => 2,
            Self::Image => 3,
            Self::Plot => 4,
        }
    }

    /// The kind of a number in the `kind` column.
    pub(crate) fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The event type on the wire.
    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::Scalar => "training_stats_scalar",
            Self::Vector => "training_stats_vector",
            Self::Image => "training_debug_image",
            Self::Plot => "plot",
        }
    }

    /// The kind of an event type on the wire.
    pub(crate) fn from_event_type(event_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.event_type() == event_type)
    }
}

/// An event on its way into the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewEvent {
    /// Id of the task or model.
    pub(crate) owner: String,
    /// Whether the owner is a model.
    pub(crate) is_model: bool,
    /// Whether it is added although the owner is published.
    pub(crate) allow_locked: bool,
    /// Milliseconds since the epoch; absent: now.
    pub(crate) timestamp: Option<i64>,
    /// Who sent it, if it says so itself.
    pub(crate) worker: Option<String>,
    /// What it says.
    pub(crate) body: Body,
    /// Fields that no column has, kept as they were sent.
    pub(crate) extra: Option<Map<String, Value>>,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// A piece of console output.
    Log {
        /// Its level, or an empty text.
        level: String,
        /// The text.
        message: String,
    },
    /// An event of a series.
    Series {
        /// Title of the graph.
        metric: String,
        /// Name of the series in it.
        variant: String,
        /// Iteration.
        iter: i64,
        /// Content, which also says the kind.
        payload: Payload,
    },
}

/// Content of an event of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// A finite number, and the label of the x axis if it was sent.
    Scalar { value: f64, x_axis_label: Option<String> },
    /// A JSON array.
    Vector(String),
    /// The plot's JSON text.
    Plot(String),
    /// A file that shows it.
    Image { key: String, url: String },
}

impl Payload {
    /// The kind of series that holds it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Scalar { .. } => Kind::Scalar,
            Self::Vector(_) => Kind::Vector,
            Self::Plot(_) => Kind::Plot,
            Self::Image { .. } => Kind::Image,
        }
    }
}

/// Selects series by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetricFilter {
    /// Metric and its variants; no variants: all of them. Empty: everything.
    pub(crate) metrics: Vec<(String, Vec<String>)>,
}

impl MetricFilter {
    /// Whether it lets everything through.
    pub(crate) fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// Whether it lets this series through.
    pub(crate) fn matches(&self, metric: &str, variant: &str) -> bool {
        self.is_empty()
            || self.metrics.iter().any(|(wanted, variants)| {
                wanted == metric && (variants.is_empty() || variants.iter().any(|name| name == variant))
            })
    }
}
