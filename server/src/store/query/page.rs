//! Paging and scrolling.

use protocols::clearml::error::ApiError;
use serde_json::Value;

use super::Row;

/// Rows of a page at most, and when the request does not say.
const PAGE_SIZE: u64 = 500;

/// Which rows to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) size: u64,
    pub(super) offset: u64,
    scrolls: bool,
}

impl Page {
    pub(super) fn from_body(body: &Row) -> Result<Self, ApiError> {
        // The key alone, even with null, starts to scroll.
        let scroll = body.get("scroll_id").filter(|_| body.get("size").is_some_and(|size| !size.is_null()));
        if let Some(scroll) = scroll {
            let size = number(body, "size", 1)?.unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
            let restart = body.get("refresh_scroll").and_then(Value::as_bool).unwrap_or(false);
            let offset = match scroll.as_str() {
                Some(id) if !restart => scroll_offset(id)?,
                Some(_) | None => 0,
            };
            return Ok(Self { size, offset, scrolls: true });
        }
        let size = number(body, "page_size", 1)?.unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
        let page = number(body, "page", 0)?.unwrap_or(0);
        Ok(Self { size, offset: size.saturating_mul(page).min(i64::MAX as u64), scrolls: false })
    }

    /// What to answer as `scroll_id` after `rows` rows.
    pub(super) fn next_scroll_id(&self, rows: usize) -> Option<String> {
        // The position is all that there is to know, so it is the id: nothing to keep, nothing to expire.
        self.scrolls.then(|| format!("scroll-{}", self.offset + rows as u64))
    }
}

fn scroll_offset(id: &str) -> Result<u64, ApiError> {
    id.strip_prefix("scroll-")
        .and_then(|offset| offset.parse::<u32>().ok())
        .map(u64::from)
        .ok_or_else(|| ApiError::invalid_scroll_id("", &[("scroll_id", &id)]))
}

fn number(body: &Row, field: &str, least: u64) -> Result<Option<u64>, ApiError> {
    let Some(value) = body.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    match value.as_u64() {
        Some(number) if number >= least => Ok(Some(number)),
        Some(_) | None => Err(ApiError::bad_field(field, &format!("must be an integer of at least {least}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(body: &Value) -> Result<Page, ApiError> {
        Page::from_body(body.as_object().unwrap())
    }

    #[test]
    fn pages_are_clipped_and_checked() {
        assert_eq!(page(&json!({})).unwrap(), Page { size: 500, offset: 0, scrolls: false });
        assert_eq!(page(&json!({"page": 2, "page_size": 10_000})).unwrap().offset, 1000);
        assert!(page(&json!({"page": -1})).unwrap_err().is(400, 12));
        assert!(page(&json!({"page_size": 0})).unwrap_err().is(400, 12));
        assert!(page(&json!({"page": u64::MAX})).is_ok());
    }

    #[test]
    fn scrolling_goes_on_where_it_was() {
        let first = page(&json!({"scroll_id": null, "size": 2})).unwrap();
        let id = first.next_scroll_id(2).unwrap();
        assert_eq!(page(&json!({"scroll_id": id, "size": 2})).unwrap().offset, 2);
        assert_eq!(page(&json!({"scroll_id": id, "size": 2, "refresh_scroll": true})).unwrap().offset, 0);
        assert!(page(&json!({"scroll_id": "x", "size": 2})).unwrap_err().is(400, 1104));
    }
}
