"""A small parcel service, big enough to start, fill, confirm, cancel, correct and confuse."""

FLOWS = """
flows:
  send_parcel:
    description: send a parcel
    steps:
      - collect: street
        description: where it goes
      - collect: weight
      - collect: sure
        ask_before_filling: true
        next:
          - if: not slots.sure
            then:
              - action: utter_dropped
                next: END
          - else: done
      - id: done
        action: utter_booked
  opening_hours:
    description: tell the opening hours
    steps:
      - collect: day
      - action: utter_hours
  complain:
    description: complain about a parcel
    steps:
      - collect: reason
      - action: utter_sorry
  pattern_completed:
    description: say nothing when done
    steps:
      - noop: true
        next: END
"""

DOMAIN = """
version: "3.1"
slots:
  street: {type: text}
  weight: {type: float}
  sure: {type: bool}
  day: {type: categorical, values: [Monday, Friday]}
  reason: {type: text}
responses:
  utter_ask_street: [{text: Which street?}]
  utter_ask_weight: [{text: How heavy?}]
  utter_ask_sure: [{text: "To {street}. Sure?"}]
  utter_dropped: [{text: Dropped.}]
  utter_booked: [{text: Booked.}]
  utter_ask_day: [{text: Which day?}]
  utter_hours: [{text: "Hours on {day}."}]
  utter_ask_reason: [{text: What happened?}]
  utter_sorry: [{text: Sorry about that.}]
"""
