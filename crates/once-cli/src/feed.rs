//! Where the rows of a feed come from: a file or a spreadsheet, read whole, a file a source.

mod account;
mod csv;
mod http;
mod rows;
mod sheets;
mod xlsx;

pub use rows::Table;

use crate::args::FeedSource;
use crate::error::Result;
use crate::screen::Screen;
use crate::source::Reading;

/// What is read, again and again.
pub enum Source {
    Csv(csv::File),
    Xlsx(xlsx::Workbook),
    Sheets(Box<sheets::Spreadsheet>),
}

impl Source {
    /// The source that the command line names; `None` where the feed reads its own.
    ///
    /// # Errors
    /// Where the service account for a spreadsheet is missing or broken.
    pub fn of(args: &FeedSource) -> Result<Option<Self>> {
        Ok(if let Some(path) = &args.csv {
            let reading = Reading { delimiter: args.delimiter, encoding: args.encoding };
            Some(Self::Csv(csv::File { path: path.clone(), reading }))
        } else if let Some(path) = &args.xlsx {
            Some(Self::Xlsx(xlsx::Workbook { path: path.clone(), worksheet: args.worksheet.clone() }))
        } else if let Some(id) = &args.sheet {
            let account = account::Account::from_environment()?;
            let http = http::Http::new(args.sheets_timeout);
            let range = args.range.clone();
            Some(Self::Sheets(Box::new(sheets::Spreadsheet::new(id, range, &args.sheets_url, account, http))))
        } else {
            None
        })
    }

    /// Reads all of it. That something is waited for is told on the screen.
    ///
    /// # Errors
    /// Where it can't be read, or is no table.
    pub fn read(&self, screen: &Screen) -> Result<Table> {
        match self {
            Self::Csv(file) => file.read(),
            Self::Xlsx(workbook) => workbook.read(),
            Self::Sheets(spreadsheet) => spreadsheet.read(screen),
        }
    }
}
